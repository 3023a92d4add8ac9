"""Two worker images side by side: what differs, and what may differ.

    tree      a root file system as data, read without following a link out of it
    files     both trees walked once, in step; contents read only where all else agrees
    records   what files mean: packages, systemd's units, users and groups, as name -> fields
    rpmdb     rpm's packages among them
    volatile  the one table of what may differ, each row with its reason
    differ    the parts put together; report tells people of the result
    sandboxes     images mounted, in a sandbox of their own

Not compared, because they never agree: times, inode numbers, sizes of folders, and how a file
system lies on its disk. Partitions other than the root (the boot loader's) are not looked at.
"""
