"""Child processes that decode untrusted files, so that a crash or hang affects only the child.

``files`` contains the functions that services call, ``pool`` starts and limits the children,
``fork_server`` forks them, ``glitch.files.confinement`` removes their rights, and ``operations``
lists what they can do.
"""
