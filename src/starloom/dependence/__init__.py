"""How columns of any table depend on one another: copulas, and conditional functionals over covariates."""
