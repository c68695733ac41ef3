"""`product compare`: two products of the catalog, or files, against each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.recorded_products import RecordedProduct, product_number, recorded_product
from hapctl.processing.errors import MissingFileError, RefusedError
from hapctl.processing.imaging.foreign_product import read_foreign_product
from hapctl.processing.imaging.product_comparison import (
    ComparedImage,
    PixelDifference,
    SourceDifference,
    compare_pixels,
    compare_sources,
    lattice_offset,
)
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.pipeline.recorded_plan import output_grid


@dataclass(frozen=True)
class Side:
    """One of the two: where it lies, and its number where the catalog has it."""

    image: ComparedImage
    product_id: int | None
    origin: str
    pixels_sha256: str


@dataclass(frozen=True)
class ProductComparison:
    """What a comparison found.

    Attributes
    ----------
    first, second : Side
    offset : tuple of int or None
        Where pixel (0, 0) of the second lies in the first, (y, x), on a lattice they share.
    pixels : PixelDifference or None
        Where they share a lattice.
    sources : SourceDifference or None
        Where they do not.
    """

    first: Side
    second: Side
    offset: tuple[int, int] | None
    pixels: PixelDifference | None
    sources: SourceDifference | None

    @property
    def same_pixels(self) -> bool:
        """Whether all their pixels are the same by their checksums."""
        return self.first.pixels_sha256 == self.second.pixels_sha256


def compare_products(
    catalog: Catalog, first: str, second: str, *, threads: int = 1, memory_limit: int | None = None
) -> ProductComparison:
    """Compare two products: numbers, names or paths of products of the catalog, or files unknown to it.

    Parameters
    ----------
    catalog : Catalog
    first, second : str
    threads : int
    memory_limit : int, optional
        Bytes, for finding sources.

    Raises
    ------
    NotInCatalogError
        It is neither a product of the catalog nor a file.
    MissingFileError
        The file of a product is gone, or is another's now.
    """
    one, other = _side(catalog, first), _side(catalog, second)
    offset = lattice_offset(one.image.grid, other.image.grid)
    if offset is not None:
        return ProductComparison(one, other, offset, compare_pixels(one.image, other.image, offset), None)
    found = compare_sources(one.image, other.image, threads=threads, memory_limit=memory_limit)
    return ProductComparison(one, other, None, None, found)


def _side(catalog: Catalog, name: str) -> Side:
    try:
        with catalog.begin() as connection:
            product = recorded_product(connection, product_number(connection, _as_known(name)))
    except NotInCatalogError:
        if name.isdecimal() or not Path(name).is_file():
            raise
        found = read_foreign_product(Path(name))
        return Side(ComparedImage(Path(name).absolute(), found.grid), None, "file", found.pixels_sha256)
    return _of_catalog(product)


def _as_known(name: str) -> str:
    """Return the absolute path of a file; a name stays as it is."""
    return str(Path(name).absolute()) if "/" in name else name


def _of_catalog(product: RecordedProduct) -> Side:
    if not product.grid:
        raise RefusedError(
            f"product {product.product_id} ({product.kind}) is a copy of its exposure, no image of the sky",
            "compare drizzled products",
        )
    file = next(file for file in product.files if file.kind == "fits")
    path = Path(file.path)
    if not path.is_file() or file_sha256(path) != file.sha256:
        raise MissingFileError(
            f"the file of product {product.product_id} is not at {path} any more",
            f"make it again first: hapctl product rebuild {product.product_id}, then name that file",
        )
    image = ComparedImage(path, output_grid(product.grid))
    return Side(image, product.product_id, product.origin, product.pixels_sha256)


def as_document(found: ProductComparison) -> dict[str, Any]:
    """Return a comparison as plain data; what has no value (NaN) is None."""
    return {
        "first": _side_document(found.first),
        "second": _side_document(found.second),
        "same_pixels": found.same_pixels,
        "same_lattice": found.offset is not None,
        "offset": found.offset,
        "pixels": _finite(asdict(found.pixels)) if found.pixels else None,
        "sources": _finite(asdict(found.sources)) if found.sources else None,
    }


def _side_document(side: Side) -> dict[str, Any]:
    known = {name: getattr(side, name) for name in ("product_id", "origin", "pixels_sha256")}
    return {"path": str(side.image.path), **known}


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in values.items()}
