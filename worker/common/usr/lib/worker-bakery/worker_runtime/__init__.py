"""The guest runtime: configures HTCondor on a worker, prepares the machine for jobs, and ends the worker.

The packages, from the bottom to the top; each imports only packages above it in this list
(tests/unit/worker/test_runtime_layers.py):

    system         shared base: files, paths, programs with time limits, systemd, console, status socket
    configuration  the worker's file -> values -> HTCondor's configuration; `worker configure`
    jobs           `worker guard`, `storage`, `resources`, `health`, `runtimes`: the machine for jobs
    ospool         `worker ospool`: what the OSPool's jobs ask for, tested and advertised
    lifecycle      `worker watch`, `started`, `stopped`: inspect, evaluate, act
    status         `worker-image status`, `worker-image wait`, `worker alive`
    container      `worker run`: a worker in a container, without systemd
    user_mode      `worker run --user`: a worker of an unprivileged user

To follow a worker from its file to its end, read configuration/configure.py, lifecycle/watch.py and
lifecycle/states.py. Python 3.6 and its standard library only, because EL7 has no more.
"""
