"""SQL over the records and the numbers of a run, by DuckDB (the extra `query`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow

from robustbench_cv.errors import UserError
from robustbench_cv.record_store import Stored

if TYPE_CHECKING:
    import duckdb
    import pandas

    from robustbench_cv.results import Results


def query(results: Results, sql: str) -> pandas.DataFrame:
    """What `Results.query` gives."""
    try:
        import duckdb
    except ImportError as error:
        raise UserError("SQL over a run needs DuckDB: pip install 'robustbench-cv[query]'") from error
    with duckdb.connect() as connection:
        _add_records(connection, results)
        _add_summary(connection, results)
        try:
            frame: pandas.DataFrame = connection.execute(sql).df()
        except duckdb.Error as error:
            raise UserError(f"the query {sql!r} fails: {error}. Its tables are records and summary") from error
    return frame


def _add_records(connection: duckdb.DuckDBPyConnection, results: Results) -> None:
    """The table `records`: read from the run's files where it has such, a column only where the query names it."""
    paths = [str(path) for path in results.source.paths()] if isinstance(results.source, Stored) else []
    if not paths:
        tables = list(results.source.tables())
        connection.register("records", pyarrow.concat_tables(tables, promote_options="default") if tables else pyarrow.table({}))
        return
    connection.register("_cells", pyarrow.table({"key": [cell.key for cell in results.run.cells]}))
    connection.sql("CREATE TEMP TABLE _keys AS SELECT key FROM _cells")
    every = connection.read_parquet(paths, union_by_name=True, hive_partitioning=False)
    every.filter("cell IN (SELECT key FROM _keys)").create_view("records")


def _add_summary(connection: duckdb.DuckDBPyConnection, results: Results) -> None:
    import pandas

    from robustbench_cv.rendering.write_report import summary_csv

    connection.register("summary", pandas.read_csv(io.StringIO(summary_csv(results))))
