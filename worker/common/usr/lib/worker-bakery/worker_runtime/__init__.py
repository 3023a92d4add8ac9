"""What runs inside a worker: from /etc/osg-worker.conf to a configured HTCondor, and its end.

    conf.py        text of the file -> values, problems, warnings     (pure)
    values.py      is this value what its kind demands                (pure)
    expression.py  is this text one closed ClassAd expression         (pure)
    condor.py      values -> HTCondor's configuration                 (pure)
    files.py       settled reading, atomic writing
    proof.py       asks HTCondor itself how it reads the new configuration
    configure.py   `worker configure`: the order in which all that happens
    storage.py     `worker storage`: where the files of jobs go
    stopped.py     `worker stopped`: power off, or not, when HTCondor has ended
    guard.py       `worker guard`: jobs are kept from the cloud's metadata service
    say.py         the journal and the console

Python 3.6 and its standard library only: EL7 has no more.
"""
