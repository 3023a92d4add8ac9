"""Search an image for secrets: the contents of its files, and all bytes of its disk, free space included.

Contents decide, not names. A secret in an unmodified file of a package is public (a test key, an example in
documentation), and so is any copy of it. Files with a meaning of their own (shadow, HTCondor's folders,
shell histories) are checked by tests/image/test_hygiene.py.
"""
