"""Model-independent edits of a sample, each with the placebo that its effect is measured against."""
