"""Pipelines on drives: config -> graph of stages -> executor -> sinks and report; begin reading at ``run_drive``."""
