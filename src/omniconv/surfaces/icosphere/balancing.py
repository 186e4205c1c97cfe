"""Shares that hand out exactly what is there: a sparse matrix moved to given sums of rows and columns."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def balanced(shares: sparse.csr_array, rows: np.ndarray, columns: np.ndarray) -> sparse.csr_array:
    """The matrix with the same entries, a little changed, whose rows and columns sum to what is given.

    Each entry is multiplied by ``1 + u[row] + v[column]``, the first step of iterative proportional fitting from there
    on, solved to rounding; ``u`` comes from a sparse system as large as there are rows.

    Args:
        shares: positive entries ``(R, C)``, connected, near to the sums wanted.
        rows: sums of the rows, ``(R,)``.
        columns: sums of the columns, ``(C,)``, as much in all as those of the rows.

    Example:
        >>> near = sparse.csr_array([[2.0, 1.0], [0.0, 1.0]])
        >>> balanced(near, np.array([2.5, 1.5]), np.array([2.0, 2.0])).toarray().round(12).tolist()
        [[2.0, 0.5], [0.0, 1.5]]
    """
    from scipy.sparse.linalg import cg  # 0.1 s to import

    by_row, by_column = np.asarray(shares.sum(axis=1)), np.asarray(shares.sum(axis=0))
    missing, over = rows - by_row, columns - by_column
    passed = shares @ sparse.diags_array(1 / by_column)
    system = sparse.csr_array(sparse.diags_array(by_row) - passed @ shares.T)
    u, _ = cg(system, missing - passed @ over, rtol=1e-12)  # to a constant, which v takes back
    v = (over - shares.T @ u) / by_column
    entries = shares.tocoo()
    return sparse.csr_array(
        sparse.coo_array((entries.data * (1 + u[entries.row] + v[entries.col]), entries.coords), shape=shares.shape)
    )
