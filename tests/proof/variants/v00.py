"""Right answers within lesson 00, written in ways that their check has to accept."""

import torch


def changed_by_where(codes, row, column, code):
    here = torch.zeros_like(codes, dtype=torch.bool)
    here[row, column] = True
    return torch.where(here, code, codes)


def changed_by_lists(grid, i, j, new_code):
    lines = grid.tolist()
    lines[i][j] = new_code
    return torch.tensor(lines)


def changed_by_put(codes, row, column, code):
    place = torch.tensor([row]), torch.tensor([column])
    return codes.index_put(place, torch.tensor(code))


def changed_by_its_number(codes, row, column, code):
    flat = codes.flatten().clone()
    flat[row * codes.shape[1] + column] = code
    return flat.view_as(codes)


VARIANTS = {"my_changed": [changed_by_where, changed_by_lists, changed_by_put, changed_by_its_number]}
