"""Evaluation of a trained model: probes, measures, reports."""
