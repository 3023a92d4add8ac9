"""What runs inside a worker: from its file or environment to a configured HTCondor, and its end.

    kind.py        what kind of worker this is: kind.json, keys.json
    conf.py        file or environment -> values, problems, warnings  (pure)
    values.py      is this value what its kind demands                (pure)
    servers.py     a pool's managers and connection brokers: pools.json (pure)
    expression.py  is this text one closed ClassAd expression         (pure)
    settings.py    the values in force: table, image's own, worker's file
    token.py       the token, from wherever it is to come
    machine.py     the cloud's instance and the image, as ClassAd attributes
    condor.py      values -> HTCondor's configuration                 (pure)
    files.py       settled reading, atomic writing
    proof.py       asks HTCondor itself how it reads the new configuration
    configure.py   `worker configure`: the order in which all that happens

    guard.py       `worker guard`: jobs are kept from the metadata service
    storage.py     `worker storage`: where the jobs' files go
    resources.py   `worker resources`: accounts for the slots, memory kept for the system
    health.py      `worker health`: is this machine fit for work
    program.py     a program, run to its end within a time limit
    runtimes.py    `worker runtimes`: what can run a container here
    bounded.py     questions with time limits, on file systems that may hang

    ospool.py      what the worker's file and cloud mean to the OSPool            (pure)
    offers.py      `worker ospool`: what this machine has that its jobs ask for
    offered.py     the same in the OSPool's words                                 (pure)
    tried.py       tests whose answers are remembered, each as long as it says
    distribution.py  the system and processor in the OSPool's words              (pure)

    life.py        states and deadlines: what is seen -> what to do   (pure)
    observe.py     what is seen: systemd, the startd, the pool, who is logged in
    join.py        what is between the worker and each manager and broker, in words
    clock.py       since when the machine runs
    look.py        all of it in one look
    advertised.py  does the pool show the worker as it is now
    followed.py    has HTCondor been told what the worker's file says now
    watch.py       `worker watch`: look, decide, do, again
    query.py       the watch is asked, and answers
    stopped.py     `worker stopped`: has HTCondor gone by itself
    commands.py    `worker-image`, for people and their scripts
    status.py      `worker-image status`
    wait.py        `worker-image wait`
    say.py         the journal and the console
    places.py      where things are

    container.py   `worker run`: all of it where there is no systemd, in a container
    user.py        `worker run --user`: the same as an ordinary user, on a cluster: his folder,
    ordinary.py    and what is in it
    told.py        what it is told there, at the start and when files change
    given.py       token files of a container's host: copied, never changed
    cgroup.py      what a container has of its host's CPUs and memory
    first.py       a container's first process
    master.py      condor_master as a child of ours

Python 3.6 and its standard library only: EL7 has no more.
"""
