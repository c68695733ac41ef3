"""``hapctl help``: the help of a command, and topics that are too long for it."""

from typing import Any

import click
from hapctl.cli.output import json_option, print_json

TOPICS: dict[str, tuple[str, str]] = {
    # name: (one line, text)
    "pixels": (
        "What happens to NaN, weightless and masked pixels in a drizzle.",
        """\
What an input pixel gives to the final image:

  its state                                        SCI    WHT    CTX     VAR
  -----------------------------------------------  -----  -----  ------  -----
  good                                             yes    yes    bit set yes
  SCI is NaN or infinite                           no     no     no      no
  flagged in DQ, unless final.bits takes it        no     no     no      no
  in the static mask, or hit by a cosmic ray       no     no     no      no
  its weight is 0, below, NaN or infinite          no     no     no      no
  its ERR is 0, below, NaN or infinite             yes*   yes*   yes*    model
  seen by no other exposure: no test is possible   yes    yes    bit set yes

  * with final.weight ERR it has no weight: then nothing. The model of the variance is the read noise
    squared and the electrons of source and sky.

What an output pixel holds to which nothing was given:

  SCI  NaN, or final.fill_value
  WHT  0
  CTX  0
  VAR  NaN

A pixel without weight never overwrites anything, whatever the order of the inputs. Pixels of a weight above
0 are averaged by weight; counts (final.units) are the rate times the exposure time of all inputs together.
Files without a DQ extension have no flagged pixels. Exposures of 0 seconds are left out, and told.""",
    ),
    "steps": (
        "What each step of a drizzle needs and makes, and how to run it alone.",
        """\
  step         needs                    makes                              with --keep DIR
  -----------  -----------------------  ---------------------------------  ------------------------------
  static_mask  nothing                  pixels far below the chip's mode   ROOT_static_mask.fits
  sky          nothing                  the sky of each chip               skies.txt (as sky.file takes it)
  separate     nothing                  each exposure on one grid          ROOT_single_sci.fits, _wht.fits
  median       separate                 one clean plane                    median.fits, depth.fits
  blot         median                   the plane as each chip sees it     ROOT_sciN_blt.fits
  cosmic_rays  separate, median, blot   cosmic-ray masks                   ROOT_crmask.fits, _untested.fits
  final        nothing                  the product                        (-o OUT)

A step runs where its 'enabled' is true; cosmic_rays runs those it needs, whatever theirs. Nothing but the
product is written without --keep. A step alone:

  hapctl drizzle *_flc.fits --keep masks --set final.enabled=false --set sky.enabled=false \\
      --set separate.enabled=false --set cosmic_rays.enabled=false
  hapctl drizzle *_flc.fits --keep single --set final.enabled=false --set cosmic_rays.enabled=false \\
      --set median.enabled=false --set sky.file=skies.txt
  hapctl drizzle *_flc.fits -o raw --set sky.enabled=false --set static_mask.enabled=false \\
      --set cosmic_rays.enabled=false

One exposure has nothing to be compared with: median, blot and cosmic_rays do not run then. Exposures of
several detectors or filters are compared within each, and all go into the product.""",
    ),
    "grid": (
        "How the output grid of a drizzle is chosen.",
        """\
Without any parameter: north up, the pixel scale of the first chip (IDCSCALE), all chips covered, the tangent
point in the middle of them and on the centre of a pixel (CRPIX is a whole number).

  final.scale, rotation   side of a pixel (arcsec), position angle of the y axis (degrees east of north)
  final.ra, dec           tangent point and middle of the image; without a shape all chips are covered
  final.shape             columns and rows about that middle, or about the middle of the chips
  final.crpix             with a shape: the pixel of the tangent point, 1-based; any number
  final.reference         file, file[extension] or headerlet: its WCS and size, exactly, and nothing else.
                          It must be a TAN image without distortion; a headerlet has a size if it says
                          NPIX1, NPIX2 or TG_NAX1, TG_NAX2

Chips of different scales (the PC and WF chips of WFPC2, several detectors) may go into one image: the kernel
takes the scale of each. Grids of one ra, dec, scale and rotation share their pixels.""",
    ),
}
_OF_COMMANDS = {"drizzle": ("steps", "grid", "pixels")}


@click.command("help")
@click.argument("names", nargs=-1, metavar="[COMMAND|TOPIC]...")
@json_option
@click.pass_context
def show_help(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    """Show the help of a command with the topics that belong to it, or a topic, or what there is.

    \b
    hapctl help                what there is
    hapctl help drizzle        the command, its steps, its grid, and the table of pixels
    hapctl help pixels         the table of pixels alone
    hapctl help wcs list       the help of a command within a group
    """
    text = _overview() if not names else _text(ctx, names)
    if as_json:
        print_json({"topic": " ".join(names), "text": text})
    else:
        click.echo(text)
    return 0


def _overview() -> str:
    from hapctl.cli.main import COMMANDS

    commands = [f"  {name:12}{about}" for name, (_, about) in COMMANDS.items()]
    topics = [f"  {name:12}{about}" for name, (about, _) in TOPICS.items()]
    return "\n".join(["Commands:", *commands, "", "Topics:", *topics])


def _text(ctx: click.Context, names: tuple[str, ...]) -> str:
    if len(names) == 1 and names[0] in TOPICS:
        return TOPICS[names[0]][1]
    top = ctx.find_root()
    command: Any = top.command
    inner = top
    for name in names:
        found = command.get_command(inner, name) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f"no command or topic {' '.join(names)!r}", ctx)
        command, inner = found, click.Context(found, info_name=name, parent=inner)
    parts = [command.get_help(inner)]
    for topic in _OF_COMMANDS.get(" ".join(names), ()):
        about, text = TOPICS[topic]
        parts += ["", about, "", text]
    return "\n".join(parts)
