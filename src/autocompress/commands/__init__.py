"""The verbs of the command ``acn``: one module each, imported when its verb is typed.

A module holds ``Options``, the class whose docstring is the verb's help, and ``run``.
"""
