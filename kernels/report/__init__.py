"""The report: which cases to measure, the rows they give, the charts and the page that are drawn from the rows.

``plan`` says what is measured and ``run`` measures it; ``rows`` are the file between them and ``findings``, ``charts``
and ``page``, which load no kernel.

``docs`` writes the documentation: ``reference`` makes its pages from the records, the texts of ``guide`` and what
``facts`` computes.
"""

#: The folder of the documentation, beside the page.
DOCS = "docs"
