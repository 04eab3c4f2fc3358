"""`%%ledger`: records a cell of a notebook. IPython calls it; nothing of IPython is imported before."""

from __future__ import annotations

import ast
import shlex
import sys
from typing import Any, Callable

from ..core.language import shown, t
from ..recording.track import track
from .options import add_guard, tag
from .parser import Parser

EXAMPLES = t("""
examples:
  %%ledger
  trainer.train()

  %%ledger --name aki-r8 --group aki --as run
  for step in range(1, 301):
      run.log(step=step, loss=train_one_step())
""")


class _Parser(Parser):
    """A parser that raises where a program's would exit."""

    def error(self, message: str) -> Any:
        raise ValueError(message)


def _parser() -> _Parser:
    parser = _Parser(
        "%%ledger",
        description=t(
            "Records the cell as one run: success at its end, failed on an exception, cancelled on interrupt."
        ),
        epilog=EXAMPLES,
        add_help=False,
    )
    parser.add_argument(
        "--name", metavar="NAME", help=t("the task's name (default: from the output folder or the model)")
    )
    parser.add_argument("--group", metavar="GROUP", help=t("the experiment group"))
    parser.add_argument("--tag", metavar="K=V", type=tag, action="append", default=[], help=t("a tag; may be repeated"))
    parser.add_argument("--notes", metavar="TEXT", help=t("notes for people"))
    parser.add_argument("--output-dir", metavar="DIR", help=t("a folder whose weights are uploaded when the cell ends"))
    parser.add_argument(
        "--as", metavar="VARIABLE", dest="variable", help=t("the variable that holds the run in the cell")
    )
    add_guard(parser)
    parser.add_argument("--no-variables", action="store_true", help=t("record no plain variables as settings"))
    parser.add_argument("--no-files", action="store_true", help=t("upload no files but those of run.save()"))
    parser.add_argument("-h", "--help", action="store_true", help=t("show this, and run nothing"))
    return parser


def _compile(shell: Any, cell: str) -> Callable[[], Any]:
    """What runs a cell's code in the user's namespace, as IPython itself does, and gives the value of its last
    expression.

    The code may hold magics and `!commands`, but no `await` outside of a function. Raises SyntaxError.
    """
    code = shell.transform_cell(cell)
    name = shell.compile.cache(code, shell.execution_count)
    tree = shell.transform_ast(shell.compile.ast_parse(code, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    body = shell.compile(tree, name, "exec")
    value = shell.compile(ast.Expression(last.value), name, "eval") if last else None

    def execute() -> Any:
        __tracebackhide__ = True
        exec(body, shell.user_global_ns, shell.user_ns)
        result = eval(value, shell.user_global_ns, shell.user_ns) if value else None
        return None if cell.rstrip().endswith(";") else result

    return execute


def register(shell: Any) -> None:
    """Adds `%%ledger` to an IPython shell."""

    def ledger(line: str, cell: str) -> Any:
        __tracebackhide__ = True
        parser = _parser()
        try:
            options = parser.parse_args(shlex.split(line))
            if options.variable and not options.variable.isidentifier():
                raise ValueError(t("--as {name} is no name of a variable", name=options.variable))
        except ValueError as error:
            # IPython shows this one as a line, without a traceback.
            usage = getattr(sys.modules.get("IPython.core.error"), "UsageError", ValueError)
            raise usage(shown(t("%%ledger: {error}", error=error))) from None
        if options.help:
            parser.print_help()
            return None
        execute = _compile(shell, cell)
        fields = {
            "task_name": options.name,
            "experiment_group": options.group,
            "tags": dict(options.tag) or None,
            "notes": options.notes,
            "output_dir": options.output_dir,
        }
        session = track(
            variables=not options.no_variables,
            guard=options.stop_on_nan,
            **{name: value for name, value in fields.items() if value is not None},
        )
        session.in_notebook(
            lambda: shell.user_ns, None if options.no_files else options.output_dir, not options.no_files
        )
        with session as run:
            if options.variable:
                shell.user_ns[options.variable] = run
            return execute()

    ledger.__doc__ = _parser().format_help()
    shell.register_magic_function(ledger, magic_kind="cell", magic_name="ledger")
