"""Names of states and countries, which may follow the name of a place that lies in them."""

PLACES = frozenset(
    name.strip()
    for name in """
alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware, florida,
georgia, hawaii, idaho, illinois, indiana, iowa, kansas, kentucky, louisiana, maine, maryland,
massachusetts, michigan, minnesota, mississippi, missouri, montana, nebraska, nevada, new
hampshire, new jersey, new mexico, new york, north carolina, north dakota, ohio, oklahoma,
oregon, pennsylvania, rhode island, south carolina, south dakota, tennessee, texas, utah,
vermont, virginia, washington, west virginia, wisconsin, wyoming, dc, washington dc, ontario,
quebec, british columbia, alberta, manitoba, saskatchewan, nova scotia, new brunswick,
newfoundland, new south wales, victoria, queensland, south australia, western australia,
tasmania, bavaria, saxony, tuscany, lombardy, sicily, catalonia, andalusia, afghanistan,
albania, algeria, andorra, angola, argentina, armenia, australia, austria, azerbaijan, bahamas,
bahrain, bangladesh, barbados, belarus, belgium, belize, benin, bhutan, bolivia, bosnia,
botswana, brazil, brunei, bulgaria, burundi, cambodia, cameroon, canada, chad, chile, china,
colombia, congo, costa rica, croatia, cuba, cyprus, czechia, czech republic, denmark, djibouti,
dominica, dominican republic, ecuador, egypt, el salvador, england, eritrea, estonia, ethiopia,
fiji, finland, france, gabon, gambia, germany, ghana, great britain, greece, grenada, guatemala,
guinea, guyana, haiti, honduras, hungary, iceland, india, indonesia, iran, iraq, ireland,
northern ireland, republic of ireland, israel, italy, ivory coast, jamaica, japan, jordan,
kazakhstan, kenya, kosovo, kuwait, kyrgyzstan, laos, latvia, lebanon, lesotho, liberia, libya,
liechtenstein, lithuania, luxembourg, madagascar, malawi, malaysia, maldives, mali, malta,
mauritania, mauritius, mexico, moldova, monaco, mongolia, montenegro, morocco, mozambique,
myanmar, namibia, nepal, netherlands, new zealand, nicaragua, niger, nigeria, north korea, north
macedonia, norway, oman, pakistan, palestine, panama, papua new guinea, paraguay, peru,
philippines, poland, portugal, puerto rico, qatar, romania, russia, rwanda, samoa, san marino,
saudi arabia, scotland, senegal, serbia, seychelles, sierra leone, singapore, slovakia,
slovenia, somalia, south africa, south korea, south sudan, soviet union, spain, sri lanka,
sudan, suriname, sweden, switzerland, syria, taiwan, tajikistan, tanzania, thailand, togo,
tonga, tunisia, turkey, turkmenistan, uganda, ukraine, united arab emirates, uae, united
kingdom, uk, united states, united states of america, us, usa, ussr, uruguay, uzbekistan,
vatican city, venezuela, vietnam, wales, yemen, yugoslavia, zambia, zimbabwe
""".replace("\n", " ").split(",")
)
