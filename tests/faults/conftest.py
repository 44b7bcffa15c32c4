"""The long forms are commands to run by hand; only the short ones are tests."""

collect_ignore_glob = ["[!t]*.py"]
