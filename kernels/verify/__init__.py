"""Cross-validation: every backend held to the others and to the mathematics.

``inputs`` says what is fed, ``checks`` holds it to the records, ``findings`` are the outcomes; ``peers`` puts other
libraries beside. ``exhaustive`` goes over all inputs: ``sweeps`` of float32, ``strata`` of float64, equal ``bits``,
held to ``references``; ``outcomes`` are its rows. ``python -m kernels.verify`` is the command.
"""

#: Of the exhaustive check: float32 in ULP, equal bits where there is an exponential, float64 in ULP.
PARTS = ("float32", "bits", "float64")
#: Inputs of float64 a formula.
COUNT = 10**8
