"""Untrusted files are decoded in child processes that may hang, crash or swell alone.

``files`` has the functions that services call; ``pool`` starts and bounds the children,
``fork_server`` makes them, ``confinement`` takes their rights away, ``operations`` is what they
do.
"""
