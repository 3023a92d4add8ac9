"""Whether an image is up to date: its lock, and the questions to its package repositories.

lock        the packages and repositories of an image, as data and as JSON
inventory   what a package manager reports (provisioner/installed.py), parsed
metadata/   the repositories: where they are, how they are asked, what their metadata says
versions    compare versions as dpkg and rpm do
compare     the packages of an image and the offers of its repositories: the updates
ask         asks all repositories of a lock, in parallel
question    whether a disk has updates; checked keeps the last answer beside the disk
record      the lock of a finished bake
refresh     `--refresh`: whether a bake may use an image or a checkpoint of the store
replay      `--lock`: exact versions
images      `outdated`: the images to ask about
"""
