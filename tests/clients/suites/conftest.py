"""The suites here run by ``make clients``, each in a process of its own."""

collect_ignore_glob = ["*.py"]
