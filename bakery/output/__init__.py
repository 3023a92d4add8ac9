"""Write the finished image: its formats, and its file at the path that the user chose."""
