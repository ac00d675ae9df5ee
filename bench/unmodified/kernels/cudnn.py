"""cuDNN's attention through its own frontend: K and V at any strides with the lengths beside them, and
its own paged form."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from ..kernel import Call, Unsuitable, int32
from ..memories import Contiguous, Pages, Problem


class CudnnFrontend:
    name = "cuDNN frontend"

    def __init__(self) -> None:
        self._library = importlib.import_module("cudnn")
        self._handle = self._library.create_handle()

    def contiguous(self, problem: Problem, memory: Contiguous) -> list[Call]:
        case = problem.case
        if memory.stride is None:
            raise Unsuitable("requests that follow one another without gaps are no batch")
        k, v = (
            memory.batched(part, case.batch, max(case.lengths)).transpose(1, 2)
            for part in (memory.k, memory.v)
        )
        ways = [self._build(problem, k, v, None, padded=True)]
        if case.even:
            ways.append(self._build(problem, k, v, None, padded=False))
        return ways

    def paged(self, problem: Problem, pages: Pages) -> list[Call]:
        k, v = (part.transpose(1, 2) for part in (pages.k, pages.v))
        return [self._build(problem, k, v, pages.table[:, None, :, None], padded=True)]

    def _build(
        self, problem: Problem, k: Any, v: Any, table: torch.Tensor | None, padded: bool
    ) -> Call:
        """Built at its first run, so that a way that cuDNN refuses is one that does not work."""
        case = problem.case
        if len(set(case.queries)) != 1:
            raise Unsuitable("as many queries of each request")
        q = problem.queries.view(case.batch, case.queries[0], *problem.queries.shape[1:])
        q = q.transpose(1, 2)
        out = torch.empty_like(problem.queries)
        parts = {"q": q, "k": k, "v": v, "out": out.view(q.transpose(1, 2).shape).transpose(1, 2)}
        if padded:
            for name, counts in (("seq_len_q", case.queries), ("seq_len_kv", case.lengths)):
                parts[name] = int32(list(counts), problem.device).view(-1, 1, 1, 1)
        if table is not None:
            parts["table_k"], parts["table_v"] = table, table.clone()
        graph = _Graph(self._library, self._handle, problem, parts)
        kind = "paged_attention_k_table" if table is not None else "strides"
        how = f"pygraph.sdpa({kind}{', use_padding_mask' if padded else ''})"

        def run() -> torch.Tensor:
            graph.execute()
            return out

        return Call(run, lambda result: result, how)


class _Graph:
    def __init__(
        self, library: Any, handle: Any, problem: Problem, parts: dict[str, torch.Tensor]
    ) -> None:
        self._library, self._handle = library, handle
        self._problem, self._parts = problem, parts
        self._built: Any = None

    def execute(self) -> None:
        if self._built is None:
            self._built = self._build()
        graph, pack, workspace = self._built
        stream = torch.cuda.current_stream(self._problem.device).cuda_stream
        self._library.set_stream(self._handle, stream)
        graph.execute(pack, workspace, handle=self._handle)

    def _build(self) -> tuple[Any, Any, torch.Tensor]:
        library, parts = self._library, self._parts
        graph = library.pygraph(
            io_data_type=library.data_type.BFLOAT16,
            intermediate_data_type=library.data_type.FLOAT,
            compute_data_type=library.data_type.FLOAT,
            handle=self._handle,
        )
        inputs = {name: graph.tensor_like(part) for name, part in parts.items() if name != "out"}
        result, _ = graph.sdpa(name="sdpa", is_inference=True, **self._options(inputs))
        dims = parts["out"]
        result.set_output(True).set_dim(list(dims.shape)).set_stride(list(dims.stride()))
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([library.heur_mode.A, library.heur_mode.FALLBACK])
        graph.check_support()
        graph.build_plans()
        device = self._problem.device
        size = max(1, graph.get_workspace_size())
        workspace = torch.empty(size, dtype=torch.uint8, device=device)
        pack = {inputs[name]: part for name, part in parts.items() if name != "out"}
        return graph, {**pack, result: dims}, workspace

    def _options(self, inputs: dict[str, Any]) -> dict[str, Any]:
        library, case = self._library, self._problem.case
        options: dict[str, Any] = {name: inputs[name] for name in ("q", "k", "v")}
        options["attn_scale"] = self._problem.shape.head_dim**-0.5
        if "seq_len_kv" in inputs:
            options["use_padding_mask"] = True
            options.update({name: inputs[name] for name in ("seq_len_q", "seq_len_kv")})
        if not case.decode:
            # The queries are the last tokens of their request.
            options["diagonal_alignment"] = library.diagonal_alignment.BOTTOM_RIGHT
            options["diagonal_band_right_bound"] = 0
        if "table_k" in inputs:
            options["paged_attention_k_table"] = inputs["table_k"]
            options["paged_attention_v_table"] = inputs["table_v"]
            options["paged_attention_max_seq_len_kv"] = max(case.lengths)
        return options
