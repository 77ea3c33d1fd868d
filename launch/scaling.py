def read_results(f):
    return []


def table(r):
    return ""


def plot(r):
    return ""
