"""Child processes that decode untrusted files, so that a crash or hang affects only the child.

``files`` has the functions that services call, ``pool`` starts and limits the children,
``fork_server`` forks them, ``glitch.files.confinement`` drops their rights, and ``operations`` is
what they do.
"""
