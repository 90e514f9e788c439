"""Words of languages that decide where text may be broken.

Here: tables. Not here: what a break costs (``breaks``). A language that is not here is broken by
punctuation, pauses and capitals alone. Words are in lower case; ``binds`` lists what never ends
a line (articles and other determiners), ``conjunctions`` and ``prepositions`` what rather begins
one. Words of two kinds stand where the less harmful mistake is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Grammar:
    """The function words of a language."""

    binds: frozenset[str] = frozenset()
    conjunctions: frozenset[str] = frozenset()
    prepositions: frozenset[str] = frozenset()


def _grammar(binds: str, conjunctions: str, prepositions: str) -> Grammar:
    return Grammar(*(frozenset(text.split()) for text in (binds, conjunctions, prepositions)))


_TITLES = (
    "mr mrs ms dr prof st sr jr mme mlle mgr sig sra srta ing dhr mw hr vs ca bzw nr mister miss "
    "herr frau señor señora monsieur madame signor signora senhor senhora meneer mevrouw pan pani"
)
TITLES = frozenset(_TITLES.split())
"""Abbreviations that end with a full stop and no sentence, and titles before a name."""

GRAMMARS: Mapping[str, Grammar] = {
    "en": _grammar(
        "a an the my your his her its our their this these those every each some any no",
        "and or but nor yet so because although though while when whenever if unless until "
        "since that which who whom whose where whereas than as",
        "of in on at to for with from by about into onto over under after before between "
        "through during without within against among across behind beyond near toward towards "
        "upon around",
    ),
    "de": _grammar(
        "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner "
        "mein meine meinen meinem meiner dein deine deinen sein seine seinen seinem seiner "
        "ihr ihre ihren ihrem ihrer unser unsere unseren euer eure dieser diese dieses diesen "
        "diesem jeder jede jedes jeden jedem zum zur im am beim vom ins ans",
        "und oder aber denn sondern doch dass daß weil obwohl wenn als während bevor nachdem "
        "damit sodass ob bis seit falls wo wie",
        "in an auf aus bei mit nach von zu für gegen ohne um durch über unter vor hinter neben "
        "zwischen wegen trotz statt",
    ),
    "fr": _grammar(
        "le la les un une des du au aux mon ma mes ton ta tes son sa ses notre nos votre vos "
        "leur leurs ce cet cette ces chaque quelques",
        "et ou mais donc or ni car que qui quand lorsque puisque parce quoique si comme où dont",
        "de à dans sur sous avec sans pour par chez vers entre contre depuis pendant avant après "
        "devant derrière en",
    ),
    "es": _grammar(
        "el la los las un una unos unas del al mi mis tu tus su sus nuestro nuestra nuestros "
        "nuestras este esta estos estas ese esa esos esas aquel aquella cada",
        "y e o u pero sino ni que porque aunque cuando mientras si como donde pues quien",
        "de a en con sin por para sobre bajo entre hacia hasta desde contra según tras ante",
    ),
    "it": _grammar(
        "il lo la i gli le un uno una del dello della dei degli delle al allo alla ai agli alle "
        "nel nello nella nei negli nelle sul sullo sulla sui sugli sulle dal dallo dalla dai "
        "dagli dalle mio mia miei mie tuo tua suo sua nostro nostra questo questa questi queste "
        "quel quella ogni",
        "e ed o ma però né che perché anche quando mentre se come dove poiché benché chi",
        "di a da in con su per tra fra senza sopra sotto verso contro dopo prima",
    ),
    "pt": _grammar(
        "o a os as um uma uns umas do da dos das ao aos à às no na nos nas pelo pela pelos pelas "
        "meu minha meus minhas teu tua seu sua seus suas nosso nossa este esta estes estas esse "
        "essa cada",
        "e ou mas nem que porque embora quando enquanto se como onde pois quem",
        "de em com sem por para sobre sob entre até desde contra após perante",
    ),
    "nl": _grammar(
        "de het een mijn jouw zijn haar ons onze jullie hun deze dit die elke elk ieder geen",
        "en of maar want dus dat omdat hoewel terwijl als toen wanneer voordat nadat zodat waar",
        "van in op aan bij met naar uit voor tegen zonder om door over onder tussen achter "
        "naast sinds tot",
    ),
    "sv": _grammar(
        "en ett den det de min mitt mina din ditt dina sin sitt sina hans hennes vår vårt våra "
        "denna detta dessa varje",
        "och eller men utan för att som när medan om eftersom fast där än",
        "i på av till från med vid hos under över mellan genom mot efter före",
    ),
    "da": _grammar(
        "en et den det de min mit mine din dit dine sin sit sine hans hendes vores denne dette "
        "disse hver",
        "og eller men for at som der når mens hvis fordi hvor end",
        "i på af til fra med ved hos under over mellem gennem mod efter før om",
    ),
    "pl": _grammar(
        "ten ta to ci te mój moja moje twój twoja jego jej nasz nasza każdy każda",
        "i a ale lub albo oraz więc że żeby bo ponieważ chociaż kiedy gdy jeśli jak gdzie który "
        "która które",
        "w we z ze na do od po za przy przez dla bez nad pod przed między o u",
    ),
}
"""Language (Whisper's code) → its function words."""

NONE = Grammar()
