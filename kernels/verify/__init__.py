"""Cross-validation: every backend held to the others and to the mathematics.

``inputs`` says what is fed, ``checks`` holds it to the records, ``findings`` are the outcomes; ``exhaustive`` goes over
all float32 inputs; ``peers`` puts other libraries beside. ``python -m kernels.verify`` is the command.
"""
