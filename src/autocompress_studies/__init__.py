"""Studies: the paper's claims and other comparisons, each with rivals, seeds and intervals.

The package stands beside ``autocompress`` in the same wheel; within the library only
``acn reproduce`` imports it.
"""

from autocompress_studies.command import list_table, reproduce
from autocompress_studies.jobs import Job, StudyRun
from autocompress_studies.record import Record, load_results
from autocompress_studies.results import Arm, Results, name_of
from autocompress_studies.runner import CLUSTERS, run_study
from autocompress_studies.sample import check_sample
from autocompress_studies.statements import Finding, Statement, more, overall, points, tested
from autocompress_studies.study import PRESETS, Study, find_study, list_studies, register_study
from autocompress_studies.work import Work, examine

__all__ = ["Arm", "CLUSTERS", "Finding", "Job", "PRESETS", "Record", "Results", "Statement"]
__all__ += ["Study", "StudyRun", "Work", "check_sample", "examine", "find_study", "list_studies"]
__all__ += ["list_table", "load_results", "more", "name_of", "overall", "points", "register_study"]
__all__ += ["reproduce", "run_study", "tested"]
