"""The options that test.py alone has. Those of single models are the models' own."""

from __future__ import annotations

from options.metric_arguments import add_metric_options
from util.arguments import CALL, TEST, ScopedParser, name_part, number


def add_test_options(parser: ScopedParser) -> None:
    """Add the options of testing that do not depend on the model."""
    group = parser.add_argument_group("testing")
    group.add_argument(
        "--phase",
        type=name_part,
        default="test",
        scope=TEST,
        help="start of the names of image folders; --dataset_mode unaligned reads testA and testB",
    )
    group.add_argument("--results_dir", default="./results", scope=CALL, help="folder of the HTML galleries")
    group.add_argument(
        "--num_test",
        type=number(int, least=1, instead="use a large number for all images, such as 1000000"),
        default=50,
        metavar="N",
        scope=TEST,
        help="number of images to translate",
    )
    group.add_argument(
        "--eval", action="store_true", scope=TEST, help="no dropout, running statistics in batch normalization"
    )
    group.add_argument(
        "--aspect_ratio",
        type=number(float, above=0),
        default=1.0,
        scope=TEST,
        help="stretch the width of saved images by this factor",
    )
    add_metric_options(parser, scope=TEST)
    parser.set_defaults(model="test", load_size=None, seed=0)
