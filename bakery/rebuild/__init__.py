"""Bake an image again from its manifest, and compare the bytes.

rebuild    manifest -> the same plan, base and package versions -> another image; compared, and recorded
regions    two disks that differ: in which partitions
"""
