"""Generates docs/reference from the program: `python -m tools.reference [--check]`.

A page is a template (`templates/NAME.md`) whose `@@NAME@@` lines are replaced by tables. The tables
come from the parsers, keys.json, the TOML files and the docstrings of the program; the sentences that
the program does not have are in `texts/*.toml`. A name that has no sentence, or a sentence that has
no name, raises `Outdated`.

    commands.py      the pages of the commands, from their parsers
    worker_file.py   the keys of the worker's files
    states.py        the states of a worker and the actions that end it
    tables.py        exit codes, bases, clouds, pools, environment variables
    findings.py      the findings of `gen-userdata`
    image_tests.py   the tests of every worker image
    ospool.py        guards, attributes and sample jobs of the OSPool
    pages.py         all pages, by path
    site.py          the hook of MkDocs: the navigation, links out of docs/
"""
