"""Workers on an OpenStack cloud: launched, found again by tag and metadata, listed, deleted.

What is there and what is wanted become decisions without side effects (`marks`, `states`, `reaping`,
`scaling`, `plan`, `rates`); `launch` and `deletion` execute them.
"""
