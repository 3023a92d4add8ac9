"""Bake images on an HTCondor pool: one job for each image, described by a DAG for condor_submit_dag.

`images` says what a job needs, `description` makes the texts of the DAG, `folder` writes them with the
inputs, `submission` runs condor_submit_dag and waits, `results` reads what DAGMan and the jobs have left.
"""
