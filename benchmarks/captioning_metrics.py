"""How fast captions are judged, on one thread, beside the programs that published figures use.

    OMP_NUM_THREADS=1 python benchmarks/captioning_metrics.py [--captions FILE] [--wordnet DIR]

| what | goal |
|---|---|
| METEOR 1.5 by exact words and stems, captions | 50,000 a CPU second |
| the same, beginnings of captions | 100,000 a CPU second |
| the original's METEOR, beginnings | 100,000 a CPU second |
| CIDEr-D | 20,000 a CPU second |

FILE is a JSON of ActivityNet Captions; without it captions are drawn from a small grammar.
Every row scores captions against other captions of the file. NLTK and pycocoevalcap are measured
too where they are installed; NLTK gets no synonyms. With pycocoevalcap and Java the tokens and the
alignments are also compared with those of the published programs.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from segue.tasks.captioning.metrics.alignment import (
    meteor_prefixes,
    meteor_scores,
    meteor_statistics,
)
from segue.tasks.captioning.metrics.bleu import bleu_counts
from segue.tasks.captioning.metrics.cider import CiderD
from segue.tasks.captioning.metrics.cider_batch import CiderBatch
from segue.tasks.captioning.metrics.meteor import scores
from segue.tasks.captioning.metrics.meteor_nltk import (
    Synonyms,
    nltk_codes,
    nltk_prefixes,
    nltk_scores,
)
from segue.tasks.captioning.metrics.meteor_official import OfficialMeteor, find_official
from segue.tasks.captioning.metrics.rouge import rouge_l
from segue.tasks.captioning.metrics.submission import read_references
from segue.tasks.captioning.metrics.tokenizer import PUNCTUATION, tokenize
from segue.tasks.captioning.metrics.wordnet import WordNet
from segue.tasks.captioning.metrics.words import References, WordCodes, meteor_words, padded

N = 20_000


def invented(rng: np.random.Generator) -> list[str]:
    """Return captions of a small grammar."""
    who = ["A man", "The woman", "Two boys", "A girl in a red shirt", "The men"]
    what = ["walks to", "is seen playing with", "runs around", "jumps over", "continues washing"]
    where = ["the dog", "a large field", "the man's car", "several people", "the horse and the men"]
    end = [".", " while the camera pans around.", " and then stops.", " in the end.", " again."]
    parts = (who, what, where, end)
    rows = rng.integers(0, 5, (N, 4))
    return ["{} {} {}{}".format(*(p[k] for p, k in zip(parts, row, strict=True))) for row in rows]


def rate(what: str, n: int, function: Callable[[], object]) -> None:
    """Print how many of `n` things a CPU second does; the best of three."""
    function()
    seconds = []
    for _ in range(3):
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    print(f"{what:50s} {n / min(seconds):12,.0f} /s")


def beside(said: list[list[str]], told: list[list[str]]) -> None:
    """Measure NLTK and pycocoevalcap where they are installed."""
    some = list(zip(said[:2000], told[:2000], strict=True))
    if find_spec("nltk"):
        from nltk.translate.meteor_score import single_meteor_score

        class NoWordNet:
            def synsets(self, word: str) -> list[str]:
                return []

        def nltk() -> None:
            for h, r in some:
                single_meteor_score(r, h, wordnet=NoWordNet())

        rate("NLTK: METEOR, captions", len(some), nltk)
    if find_spec("pycocoevalcap"):
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider

        hypotheses = {i: [" ".join(h)] for i, (h, _) in enumerate(some)}
        references = {i: [" ".join(r)] for i, (_, r) in enumerate(some)}
        rate(
            "pycocoevalcap: CIDEr",
            len(some),
            lambda: Cider().compute_score(references, hypotheses),
        )
        rate(
            "pycocoevalcap: BLEU",
            len(some),
            lambda: Bleu(4).compute_score(references, hypotheses, verbose=0),
        )


def compared(texts: list[str], said: list[list[str]], told: list[list[str]]) -> None:
    """Compare tokens and alignments with those of the published programs."""
    program = find_official()
    archive = program.archive.parents[1] / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    # Each line is followed by a plain word: the program's rules look beyond the end of a line.
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.writelines(f"{' '.join(text.split())}\nzz\n" for text in texts)
        file.flush()
        command = [program.java, "-Dfile.encoding=UTF-8", "-cp", str(archive)]
        command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
        done = subprocess.run([*command, file.name], capture_output=True, check=True)
    lines = done.stdout.decode().split("\n")[: 2 * len(texts) : 2]
    other = [
        [w for w in line.split() if w not in PUNCTUATION] != tokenize(text)
        for text, line in zip(texts, lines, strict=True)
    ]
    print(f"captions with other tokens than CoreNLP's: {sum(other)} of {len(texts)}")

    said, told = said[:4000], told[:4000]
    options = ("-norm", "-m", "exact stem", "-w", "1.0 0.6")
    theirs = OfficialMeteor(program.archive, program.java, options).statistics(
        said, [[r] for r in told]
    )
    codes = WordCodes()
    hypotheses = padded([codes.encode(meteor_words(h)) for h in said])
    references = References.of([[codes.encode(meteor_words(r))] for r in told])
    ours = meteor_statistics(codes, *hypotheses, references, np.arange(len(said)))
    gap = np.abs(scores(ours) - scores(theirs))
    print(
        f"other METEOR (exact, stem) than the program's: {(gap > 1e-9).sum()} of {len(gap)}, "
        f"{(gap > 0.01).sum()} by more than .01; means {scores(ours).mean():.5f} and "
        f"{scores(theirs).mean():.5f}"
    )
    whole = scores(program.statistics(said, [[r] for r in told]))
    print(
        f"with synonyms and paraphrases: mean {whole.mean():.5f}, correlation with ours "
        f"{np.corrcoef(whole, scores(ours))[0, 1]:.4f}"
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--wordnet", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    if arguments.captions:
        texts = [d.sentence for each in read_references(arguments.captions).values() for d in each]
    else:
        texts = invented(rng)
    rate("tokens, captions met before", len(texts), lambda: [tokenize(text) for text in texts])
    tokens = [tokenize(text) for text in texts]
    # Half of the captions are other captions, half the reference with words left out.
    told = [tokens[k] for k in rng.integers(0, len(tokens), N)]
    said = [tokens[k] for k in rng.integers(0, len(tokens), N)]
    said[::2] = [[w for w in r if rng.random() < 0.7] for r in told[::2]]
    items = np.arange(N)

    codes = WordCodes()
    hypotheses, lengths = padded([codes.encode(h) for h in said])
    references = References.of([[codes.encode(r)] for r in told])
    arrays = (codes, hypotheses, lengths, references, items)
    rate("METEOR (exact, stem), captions", N, lambda: meteor_scores(*arrays))
    rate("METEOR (exact, stem), beginnings", int(lengths.sum()), lambda: meteor_prefixes(*arrays))
    cider = CiderBatch(references)
    rate("CIDEr-D, captions", N, lambda: cider.scores(hypotheses, lengths, items))

    codes = nltk_codes()
    hypotheses, lengths = padded([codes.encode(h) for h in said])
    references = References.of([[codes.encode(r)] for r in told])
    synonyms = Synonyms(WordNet(arguments.wordnet), codes) if arguments.wordnet else None
    row = (codes, hypotheses, lengths, references, items, synonyms)
    with_or_without = "with" if synonyms else "no"
    name = f"the original's METEOR, {with_or_without} synonyms"
    rate(f"{name}, captions", N, lambda: nltk_scores(*row))
    rate(f"{name}, beginnings", int(lengths.sum()), lambda: nltk_prefixes(*row))

    some = list(zip(said[:2000], told[:2000], strict=True))
    scorer = CiderD.fit([[r] for r in told])
    rate("BLEU, captions", len(some), lambda: [bleu_counts(h, [r]) for h, r in some])
    rate("ROUGE-L, captions", len(some), lambda: [rouge_l(h, [r]) for h, r in some])
    rate("CIDEr-D on strings", len(some), lambda: [scorer.item(h, [r]) for h, r in some])
    beside(said, told)
    if find_spec("pycocoevalcap"):
        compared(texts, said, told)


if __name__ == "__main__":
    main()
