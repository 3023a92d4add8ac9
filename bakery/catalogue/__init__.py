"""Catalogues of published images: their documents, and bases that are read from them."""
