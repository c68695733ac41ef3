"""What ``hapctl mosaic`` reports: a JSON document, or lines."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapctl.processing.pipeline.build_product import ProductResult
    from hapctl.processing.pipeline.mosaic_run import MosaicReport
    from hapctl.processing.pipeline.pictures import PictureResult


def mosaic_document(report: "MosaicReport", dry_run: bool) -> dict[str, Any]:
    """Return the report of one target as JSON."""
    document: dict[str, Any] = {
        "run": report.run,
        "products": [product_document(product, dry_run) for product in report.products],
        "pictures": [_picture(picture) for picture in report.pictures],
        "finished": list(report.settled.finished),
        "undone": list(report.settled.undone),
    }
    if dry_run:
        return {**document, "masks_to_make": list(report.masks_to_make)}
    return {**document, "profile": {step: asdict(seconds) for step, seconds in report.seconds.items()}}


def _picture(picture: "PictureResult") -> dict[str, Any]:
    return {
        "path": str(picture.path),
        "status": picture.status,
        "products": list(picture.products),
        "why": picture.why,
    }


def product_document(product: "ProductResult", dry_run: bool) -> dict[str, Any]:
    """Return what became of a product as JSON."""
    row: dict[str, Any] = {
        "kind": product.kind,
        "name": product.name,
        "path": str(product.path),
        "preview": str(product.preview) if product.preview else None,
        "status": product.status,
        "why": list(product.why),
        "codes": list(product.codes),
        "detector": product.detector,
        "filter": product.filter,
        "nx": product.shape[1],
        "ny": product.shape[0],
        "exposures": list(product.exposures),
        "left_out": [{"code": code, "reason": reason} for code, reason in product.left_out],
        "product_id": product.product_id,
    }
    if dry_run:
        sizes = {name: getattr(product, name) for name in ("bytes", "memory_bytes", "scratch_bytes")}
        return {**row, **sizes, "drizzle": product.drizzle}
    return {**row, "pixels_sha256": product.pixels_sha256}


def print_mosaic(report: "MosaicReport", dry_run: bool) -> None:
    """Print the report of one target."""
    for name in report.settled.finished:
        say(f"hapctl: finished {name}, left pending by a run that was killed")
    for name in report.settled.undone:
        say(f"hapctl: undid {name}, left pending by a run that was killed")
    for product in report.products:
        click.echo(_line(product, dry_run))
    for picture in report.pictures:
        why = f"\n           no picture: {picture.why}" if picture.why else ""
        click.echo(f"{picture.status:9}  {'colour':8}  {picture.path}{why}")
    if report.seconds:
        steps = ", ".join(
            f"{step.replace('_', ' ')} {seconds.processor:.2f}" for step, seconds in report.seconds.items()
        )
        click.echo(f"processor seconds by step: {steps}")
    if report.masks_to_make:
        click.echo(f"masks to make: {', '.join(report.masks_to_make)}")


def _line(product: "ProductResult", dry_run: bool) -> str:
    text = f"{product.status:9}  {product.kind:8}  {product.path}"
    if product.status in ("retired", "to retire"):
        words = f"made no more, its files stay; because: {'; '.join(product.why)}"
        return f"{text}\n           {words}"
    details = [f"from {', '.join(product.exposures)}"] if dry_run else []
    if product.why:
        details.append("because: " + "; ".join(product.why))
    if dry_run:
        disk, memory = (product.bytes or 0) / 1e6, (product.memory_bytes or 0) / 1e6
        details.append(f"{disk:.1f} MB on disk, {memory:.0f} MB of memory")
        details += [_parameters(product.drizzle)] if product.drizzle else []
    details += [f"left out ({code}): {reason}" for code, reason in product.left_out]
    return "\n".join([text, *(f"           {detail}" for detail in details)])


def _parameters(drizzle: "Mapping[str, Any]") -> str:
    """The parameters that differ most; all of them are in the JSON."""
    final, rays, median = drizzle["final"], drizzle["cosmic_rays"], drizzle["median"]
    text = f"{final['kernel']}, pixfrac {final['pixfrac']:g}, {final['weight']}, good bits {final['bits']}"
    if not rays["enabled"]:
        return text
    snr, scale = (" ".join(f"{value:g}" for value in rays[name]) for name in ("snr", "scale"))
    return f"{text}; cosmic rays by {median['type']}, snr {snr}, scale {scale}"
