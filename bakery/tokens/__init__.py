"""HTCondor IDTOKENs: their claims and problems, signing, obtaining and trying them. No file holds a token."""
