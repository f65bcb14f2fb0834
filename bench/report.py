# SPDX-License-Identifier: Apache-2.0
"""What a comparison found, as figures, judged by the bars, and as tables for a terminal and for a
document. Pure but for the file that markdown writes: the same for a run and for a saved one."""

import statistics

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def load_titles(plan):
    return {row["name"]: row["title"] for row in plan["loads"] + [plan["idle"]]}


def limit_of(results, load, version):
    return next((x for x in results["limits"] if x["load"] == load and x["tls"] == version), None)


def cell_of(results, load, version, relay):
    return next((c for c in results["cells"]
                 if (c["load"], c["tls"], c["relay"]) == (load, version, relay)), None)


def median(cell, key):
    return statistics.median(r[key] for r in cell["rounds"])


def figures(results, cell):
    """One row of the table: medians over the rounds, and what the sink saw in all of them."""
    cpu = [r["cpu_ms"] for r in cell["rounds"]]
    limit = limit_of(results, cell["load"], cell["tls"])
    return {
        "cpu_ms": statistics.median(cpu), "cpu_ms_min": min(cpu), "cpu_ms_max": max(cpu),
        "cpu_s_gb": median(cell, "cpu_s_gb"), "per_client": median(cell, "per_client"),
        "percent": 100 * limit["cpu_ms_message"] / statistics.median(cpu) if limit else None,
        "seconds": median(cell, "seconds"), "messages": len(cpu) * cell["messages"],
        "handshakes": sum(r["hop_handshakes"] for r in cell["rounds"]),
        "resumed": sum(r["hop_resumed"] for r in cell["rounds"]),
        "bad": sum(r["corrupt"] + r["plain"] for r in cell["rounds"]),
        "duplicates": sum(r["duplicates"] for r in cell["rounds"])}


def paired(ours, theirs):
    """Median over the rounds of our CPU a message by theirs: what else the machine did in a round
    met both."""
    other = {r["round"]: r["cpu_ms"] for r in theirs["rounds"]}
    ratios = [r["cpu_ms"] / other[r["round"]] for r in ours["rounds"] if r["round"] in other]
    return statistics.median(ratios) if ratios else None


def bar_found(bar, results):
    """What the bar is about in this run, or None where that was not measured."""
    if "kb_at_most" in bar:
        return next((x["kb_each"] for x in results["idle"]
                     if (x["relay"], x["tls"]) == ("postern", bar["tls"])), None)
    ours = cell_of(results, bar["load"], bar["tls"], "postern")
    if ours is None:
        return None
    limit = limit_of(results, bar["load"], bar["tls"])
    if bar["against"] in ("limit", "handshake"):
        if limit is None:
            return None
        base = {"limit": limit["cpu_ms_message"],
                "handshake": limit["server_full_ms"]}[bar["against"]]
        return median(ours, "cpu_ms") / base
    theirs = cell_of(results, bar["load"], bar["tls"], bar["against"])
    return paired(ours, theirs) if theirs else None


def bar_text(plan, results, bar):
    titles = load_titles(plan)
    where = f"{titles[bar['load']]}, TLS {bar['tls']}"
    if "kb_at_most" in bar:
        return f"{where}: at most {bar['kb_at_most']} KB each"
    what = {"limit": "the userspace limit", "handshake": "a server handshake in memory"}.get(
        bar["against"]) or results["relays"].get(bar["against"], {"title": bar["against"]})["title"]
    return f"{where}: at most {bar['at_most']} x {what}"


def judge(plan, results):
    """Sets results["bars"]: those that could be judged."""
    results["bars"] = []
    for bar in plan["bars"]:
        found = bar_found(bar, results)
        if found is not None:
            most = bar.get("kb_at_most", bar.get("at_most"))
            results["bars"].append({"text": bar_text(plan, results, bar), "found": found,
                                    "bar": most, "met": found <= most})


def head(results):
    m = results["machine"]
    yield (f"{m['date']}: {m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, load average "
           f"{m['load_average']:.1f} at the start; {results['rounds']} round(s), "
           f"{results['workers']} worker(s)")
    suites = ", ".join(f"TLS {v} {s}" for v, s in results["suites"].items())
    yield f"Both legs: {suites}; ECDSA P-256; X25519; TLS from the first byte"
    for relay in results["relays"].values():
        yield f"{relay['title']}: {relay['version']}; CPU by {relay['cpu_counted_by']}"
    for why in dict.fromkeys(x["aead_why"] for x in results["limits"] if "aead_why" in x):
        yield f"Records of postern and of the limit are sealed and opened by {why}"
    for title, why in results["lacking"].items():
        yield f"{title}: not on this machine: {why}"


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


COLUMNS = ("load", "TLS", "relay", "CPU ms/message", "(min to max)", "CPU s/GB", "by client's CPU",
           "% of limit", "p50 ms", "p99", "p99.9", "at", "messages", "bad", "twice",
           "handshakes to the hop")


def rows(plan, results):
    """Cells of text, one list a relay, in the order of loads and versions."""
    titles = load_titles(plan)
    for cell in results["cells"]:
        f = figures(results, cell)
        latency = cell.get("latency") or {}
        small = 3 if f["cpu_ms"] < 10 else 1
        yield [titles[cell["load"]], cell["tls"], results["relays"][cell["relay"]]["title"],
               number(f["cpu_ms"], small),
               f"{number(f['cpu_ms_min'], small)} to {number(f['cpu_ms_max'], small)}",
               number(f["cpu_s_gb"], 2), number(f["per_client"], 2), number(f["percent"], 0),
               number(latency.get("p50"), 1), number(latency.get("p99"), 1),
               number(latency.get("p99.9"), 1), f"{latency['rate']}/s" if latency else "-",
               str(f["messages"]), str(f["bad"]), str(f["duplicates"]),
               f"{f['handshakes']} ({f['resumed']} resumed)"]


def idle_rows(results):
    for x in results["idle"]:
        yield [x["tls"], results["relays"][x["relay"]]["title"], str(x["sessions"]),
               number(x["kb_each"], 1)]


def limit_rows(plan, results):
    titles = load_titles(plan)
    for x in results["limits"]:
        yield [titles[x["load"]], x["tls"], number(x["open_s_gb"], 2), number(x["seal_s_gb"], 2),
               number(x["relay_s_gb"], 2), number(x["relay_tls_s_gb"], 2),
               *(number(x[key], 3) for key in (
                   "server_full_ms", "client_full_ms", "server_resumed_ms", "client_resumed_ms")),
               number(x["limit_mb_s"], 0), number(x["cpu_ms_message"], 3),
               number(x["kernel_limit_mb_s"] or None, 0)]


LIMIT_COLUMNS = ("load", "TLS", "open s/GB", "seal s/GB", "relay, no crypto", "relay, TLS",
                 "server handshake ms", "client", "server resumed", "client resumed",
                 "limit MB/CPU-s", "limit ms/message", "kernel limit MB/CPU-s")
IDLE_COLUMNS = ("TLS", "relay", "idle sessions", "KB PSS each")


def columns_print(columns, lines):
    lines = [list(columns), *lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(w) if i < 3 else text.rjust(w)
                        for i, (text, w) in enumerate(zip(line, widths))).rstrip())


def table(plan, results):
    print("\n".join(head(results)))
    for columns, lines in ((COLUMNS, rows(plan, results)), (IDLE_COLUMNS, idle_rows(results)),
                           (LIMIT_COLUMNS, limit_rows(plan, results))):
        lines = list(lines)
        if lines:
            print()
            columns_print(columns, lines)
    if results["bars"]:
        print("\nbars")
    for bar in results["bars"]:
        print(f"  {'met   ' if bar['met'] else 'MISSED'} {bar['text']}: {bar['found']:.2f}")


def markdown_table(columns, lines):
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for line in lines:
        yield "| " + " | ".join(line) + " |"
    yield ""


def markdown_text(plan, results):
    out = [f"- {line}" for line in head(results)] + [""]
    out += markdown_table(COLUMNS, rows(plan, results))
    if results["idle"]:
        out += markdown_table(IDLE_COLUMNS, idle_rows(results))
    if results["limits"]:
        out += markdown_table(LIMIT_COLUMNS, limit_rows(plan, results))
    if results["bars"]:
        out += markdown_table(("bar", "found", ""), [
            [b["text"], f"{b['found']:.2f}", "met" if b["met"] else "missed"] for b in results["bars"]])
    return "\n".join(out)


def markdown_parts(path):
    """What stands before and behind the two marks of that file; of one that is not there or empty,
    nothing; None of one without the marks, which somebody wrote by hand."""
    try:
        with open(path, encoding="utf-8") as f:
            old = f.read()
    except FileNotFoundError:
        return "", "\n"
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return before, after
    return None if old else ("", "\n")


def markdown_fits(path):
    """Whether markdown may write there."""
    return markdown_parts(path) is not None


def markdown(plan, results, path):
    """Replaces what stands between the two marks of a file that markdown_fits, or makes one."""
    before, after = markdown_parts(path)
    text = f"{before}{BEGIN}\n{markdown_text(plan, results)}{END}{after}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
