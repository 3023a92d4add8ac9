"""Write a worker's root file system as a container image: an archive that is OCI layout and docker-archive.

    layer.py     a root directory -> one layer, reproducibly
    config.py    kind and plan -> the configuration of the image                (pure)
    layout.py    layer and configuration -> the files of a layout, and an archive of them
    root.py      an archive -> the root directory of a container of the image
    __main__.py  writes the archive, in a sandbox in which the disk is mounted

No external tool writes the layer: buildah and umoci require a store of their own, write the current time
into the image, and are not installed on most machines. A layout is a tar archive and three JSON files.
(OCI image-spec 1.1, image-layout.md, config.md, layer.md; Docker Image Specification v1.2.)
"""
