"""The generator of user-data as a static page: what the browser runs, and the folder that it comes in."""
