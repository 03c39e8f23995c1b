"""Look at everything that a run depends on before it begins: what is right, doubtful and wrong, each fault with its mend.

Every check calls what the run itself would call. Nothing is written.
"""

from neuroadda.checking.findings import Finding, Findings

__all__ = ["Finding", "Findings"]
