"""Output grids, masks, sky, cosmic rays, drizzle, products and previews.

What people need to build their own pipeline can be imported from here; nothing is loaded before it is
asked for. The functions take arrays or open exposures and return arrays or frozen dataclasses, so that any
step can be swapped for one's own. `open_exposures` opens files; `measure_exposures`, `compare_exposures` and
`drizzle_exposures` are AstroDrizzle's seven steps; `static_masks`, `measure_skies`, `combine_rows`,
`blot_rows`, `find_hits` and `drizzle_image` are single ones; `write_product` writes what comes out;
`find_sources` finds and measures the sources of an exposure or a product.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapctl.processing.imaging.blot import blot_rows, prepare_blot
    from hapctl.processing.imaging.by_hand import describe_product, open_exposures, output_grid, pixmap
    from hapctl.processing.imaging.combine import ExposureNoise, Single, combine_arrays, combine_rows
    from hapctl.processing.imaging.comparison import find_hits
    from hapctl.processing.imaging.drizzle import (
        Band,
        Drizzle,
        DrizzledImage,
        DrizzleInput,
        drizzle_bands,
        drizzle_image,
        prepare_drizzle,
    )
    from hapctl.processing.imaging.grid import OutputGrid, map_to_grid, north_up_grid
    from hapctl.processing.imaging.image_sources import ImageSources, SettingsChange, find_sources
    from hapctl.processing.imaging.mask_file import PackedMask, read_mask, write_mask
    from hapctl.processing.imaging.observer import Observer
    from hapctl.processing.imaging.open_files import OpenFiles
    from hapctl.processing.imaging.parameters import (
        BlotParameters,
        CosmicRayParameters,
        DrizzleParameters,
        FinalParameters,
        MedianParameters,
        SeparateParameters,
        SkyParameters,
        StaticMaskParameters,
    )
    from hapctl.processing.imaging.passes import (
        Comparison,
        compare_exposures,
        comparison_grid,
        drizzle_exposures,
        measure_exposures,
    )
    from hapctl.processing.imaging.prepared import PreparedChip
    from hapctl.processing.imaging.product_description import InputChip, ProductDescription
    from hapctl.processing.imaging.product_file import WrittenProduct, write_product
    from hapctl.processing.imaging.sky import measure_skies
    from hapctl.processing.imaging.static_mask import chip_mask, static_masks
    from hapctl.processing.imaging.variance import noise_correlation, variance_blocks
    from hapctl.processing.imaging.weights import weight_maker, weighted

__all__ = [
    "Band",
    "BlotParameters",
    "Comparison",
    "CosmicRayParameters",
    "Drizzle",
    "DrizzleInput",
    "DrizzleParameters",
    "DrizzledImage",
    "ExposureNoise",
    "FinalParameters",
    "ImageSources",
    "InputChip",
    "MedianParameters",
    "Observer",
    "OpenFiles",
    "OutputGrid",
    "PackedMask",
    "PreparedChip",
    "ProductDescription",
    "SeparateParameters",
    "SettingsChange",
    "Single",
    "SkyParameters",
    "StaticMaskParameters",
    "WrittenProduct",
    "blot_rows",
    "chip_mask",
    "combine_arrays",
    "combine_rows",
    "compare_exposures",
    "comparison_grid",
    "describe_product",
    "drizzle_bands",
    "drizzle_exposures",
    "drizzle_image",
    "find_hits",
    "find_sources",
    "map_to_grid",
    "measure_exposures",
    "measure_skies",
    "noise_correlation",
    "north_up_grid",
    "open_exposures",
    "output_grid",
    "pixmap",
    "prepare_blot",
    "prepare_drizzle",
    "read_mask",
    "static_masks",
    "variance_blocks",
    "weight_maker",
    "weighted",
    "write_mask",
    "write_product",
]

_MODULES = {
    "blot": ("blot_rows", "prepare_blot"),
    "by_hand": ("describe_product", "open_exposures", "output_grid", "pixmap"),
    "combine": ("ExposureNoise", "Single", "combine_arrays", "combine_rows"),
    "comparison": ("find_hits",),
    "drizzle": (
        "Band",
        "Drizzle",
        "DrizzleInput",
        "DrizzledImage",
        "drizzle_bands",
        "drizzle_image",
        "prepare_drizzle",
    ),
    "grid": ("OutputGrid", "map_to_grid", "north_up_grid"),
    "image_sources": ("ImageSources", "SettingsChange", "find_sources"),
    "mask_file": ("PackedMask", "read_mask", "write_mask"),
    "observer": ("Observer",),
    "open_files": ("OpenFiles",),
    "parameters": (
        "BlotParameters",
        "CosmicRayParameters",
        "DrizzleParameters",
        "FinalParameters",
        "MedianParameters",
        "SeparateParameters",
        "SkyParameters",
        "StaticMaskParameters",
    ),
    "passes": (
        "Comparison",
        "compare_exposures",
        "comparison_grid",
        "drizzle_exposures",
        "measure_exposures",
    ),
    "prepared": ("PreparedChip",),
    "product_description": ("InputChip", "ProductDescription"),
    "product_file": ("WrittenProduct", "write_product"),
    "sky": ("measure_skies",),
    "static_mask": ("chip_mask", "static_masks"),
    "variance": ("noise_correlation", "variance_blocks"),
    "weights": ("weight_maker", "weighted"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
