"""Compare two worker images: what differs, and which differences are expected.

    tree       a root file system as data, read without following a link out of it
    files      walks both trees together; reads contents only if all metadata agree
    records    the meaning of files: packages, systemd's units, users and groups, as name -> fields
    rpmdb      the packages in rpm's database
    volatile   the table of expected differences, each with its reason
    differ     combines these modules; report prints the result
    sandboxed  mounts images in a sandbox

Not compared, because they always differ: times, inode numbers, sizes of folders, and the layout of the file
system on the disk. Other partitions than the root (for example the boot loader's) are not compared.
"""
