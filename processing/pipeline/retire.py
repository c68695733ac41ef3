"""Products that nothing makes any more: out of force, so that after a rebuild no product is stale.

An exposure was withdrawn, a filter lost its last exposure, a solution left a tile, or a product has another
name (``drc`` for ``drz``). Its rows stay, closed by the run, and its files stay where they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hapctl.archive.left_behind import ProductLeftBehind, products_left_behind, retire_product
from hapctl.archive.recalls import drop_recalled
from hapctl.processing.pipeline.build_product import ProductResult, Status
from hapctl.processing.pipeline.planned import MosaicOptions, PlannedProduct
from sqlalchemy import Connection


def retire_left_behind(
    connection: Connection,
    run_id: int | None,
    target: Mapping[str, Any],
    planned: Sequence[PlannedProduct],
    options: MosaicOptions,
) -> list[ProductResult]:
    """End the time of the stale products of a visit, tile or field that are not planned.

    Recalled ones of them wait for no rebuild any longer.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction.
    run_id : int or None
        None: a plan, nothing changes.
    target : mapping
        ``visit``, ``tile`` or ``field``.
    planned : sequence of PlannedProduct
        What was made or found current; products in other folders are let alone.
    options : MosaicOptions
    """
    folder, names = str(options.output), [one.name for one in planned]
    place = {
        "visit": target.get("visit"),
        "tile": target.get("tile"),
        "field": target.get("field", {}).get("name"),
    }
    found = products_left_behind(connection, folder, names, **place, split_by=options.split_by)
    if run_id is None:
        return [_result(product, "to retire") for product in found]
    drop_recalled(connection, run_id, folder, names, **place)
    for product in found:
        retire_product(connection, run_id, product.product_id)
    return [_result(product, "retired") for product in found]


def _result(product: ProductLeftBehind, status: Status) -> ProductResult:
    path = Path(product.path)
    return ProductResult(
        kind=product.kind,
        name=product.name,
        path=path,
        preview=path.with_suffix(".png") if product.kind != "grism" else None,
        status=status,
        why=tuple(product.reasons),
        exposures=(),
        left_out=(),
        detector=product.detector,
        filter=product.filter,
        shape=(product.ny, product.nx),
        product_id=product.product_id,
        codes=tuple(product.codes),
    )
