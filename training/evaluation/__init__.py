"""What a trained model is worth: probes, measures, reports."""
