"""One perturbation or patch for all samples: fitted on a training split, judged on samples that it has not seen."""
