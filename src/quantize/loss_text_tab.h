/* loss_text_tab.h - the text of loss.c, written for it: prose, a dialogue, a
 * recipe, numbers, code. Calibration never sees it. */
#ifndef QN_QUANTIZE_LOSS_TEXT_TAB_H
#define QN_QUANTIZE_LOSS_TEXT_TAB_H

static const char loss_text[] =
    "The ferry left the island a little after seven, when the fog had thinned "
    "enough for the captain to see both lights. There were eleven passengers: "
    "a schoolteacher with a crate of library books, two brothers who had sold "
    "their sheep, and a family that slept through the whole crossing. Nobody "
    "spoke much. The engine made a steady noise, and the gulls followed as far "
    "as the last buoy before they turned back.\n\n"
    "\"Will you come again in the spring?\" asked the older brother.\n"
    "\"If the roof holds,\" said the teacher, and she smiled. \"Last winter it "
    "did not.\"\n\n"
    "To make the soup, cut two onions and a leek into thin rings and cook them "
    "slowly in butter until they are soft. Add a litre of water, three "
    "potatoes, salt and a bay leaf; after twenty minutes take the leaf out and "
    "press everything through a sieve. Serve it with bread.\n\n"
    "Water boils at 100 degrees Celsius at sea level, but on a mountain of "
    "3,000 metres it boils at about 90, because the air presses less on its "
    "surface. That is why beans take longer to cook there. Half of 48 is 24, "
    "and 24 plus 17 is 41.\n\n"
    "def mean(values):\n"
    "    total = 0\n"
    "    for value in values:\n"
    "        total += value\n"
    "    return total / len(values)\n\n"
    "The council met on Tuesday to decide about the old bridge. Three members "
    "wanted to repair it, since the stones were sound and only the railing had "
    "fallen; two wanted a new one, wide enough for lorries. In the end they "
    "agreed to ask an engineer, and to meet again when her report was ready. "
    "Until then the bridge stays open to walkers and bicycles, and the bus "
    "takes the longer road along the river.\n";

#endif
