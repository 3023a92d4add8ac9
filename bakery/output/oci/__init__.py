"""A worker's root file system as a container image: one archive that is an OCI layout and a docker-archive.

    layer.py     a root directory -> one layer, the same bytes each time
    config.py    kind and plan -> the image's configuration                     (pure)
    layout.py    layer and configuration -> the files of a layout, and an archive of them
    root.py      an archive -> the root directory that a container of it would have
    __main__.py  the writing, in a sandbox: the disk is mounted there

No tool writes the layer for us: buildah and umoci want a store of their own to work in, set the time of
day on what they write, and are not there on most machines. A layout is a tar and three JSON files.
(OCI image-spec 1.1, image-layout.md, config.md, layer.md; Docker Image Specification v1.2.)
"""
