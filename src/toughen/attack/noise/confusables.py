"""What people, scanners and tricksters confuse: small tables of our own, each read in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def both_ways(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return {side: its partners} of unordered pairs: b is a partner of a exactly if a is one of b."""
    table: dict[str, list[str]] = {}
    for one, other in pairs:
        table.setdefault(one, []).append(other)
        table.setdefault(other, []).append(one)
    return {side: tuple(sorted(set(partners))) for side, partners in table.items()}


def _couples(text: str) -> list[tuple[str, str]]:
    """Read "ab cd" as the pairs (a, b) and (c, d)."""
    return [(pair[0], pair[1]) for pair in text.split()]


def _read_pairs(text: str) -> list[tuple[str, str]]:
    """Read "rn/m cl/d" as the pairs (rn, m) and (cl, d)."""
    return [(one, other) for one, _, other in (pair.partition("/") for pair in text.split())]


OCR: Mapping[str, tuple[str, ...]] = both_ways(
    _read_pairs(
        "l/1 I/l I/1 O/0 o/0 O/Q S/5 s/5 B/8 g/9 q/g Z/2 z/2 G/6 b/6 e/c h/b n/u i/j f/t v/y D/O E/F rn/m cl/d vv/w"
    )
)
"""Glyphs that a scanner takes for each other."""

HOMOGLYPHS: Mapping[str, tuple[str, ...]] = both_ways(
    _couples("aа eе oо pр cс xх yу iі jј sѕ hһ dԁ lӏ qԛ wԝ vѵ AА BВ CС EЕ HН IІ JЈ KК MМ OО PР SЅ TТ XХ YҮ")
)
"""Latin letters (first) and the Cyrillic ones that look the same."""

CONTRACTIONS: Mapping[str, tuple[str, ...]] = both_ways(
    _read_pairs(
        "is_not/isn't are_not/aren't was_not/wasn't were_not/weren't do_not/don't does_not/doesn't did_not/didn't "
        "have_not/haven't has_not/hasn't had_not/hadn't will_not/won't would_not/wouldn't could_not/couldn't "
        "should_not/shouldn't cannot/can't must_not/mustn't need_not/needn't i_am/i'm you_are/you're we_are/we're "
        "they_are/they're i_have/i've you_have/you've we_have/we've they_have/they've i_will/i'll you_will/you'll "
        "he_will/he'll she_will/she'll it_will/it'll we_will/we'll they_will/they'll it_is/it's that_is/that's "
        "there_is/there's what_is/what's who_is/who's let_us/let's"
    )
)
"""Long and short forms, a long one's words joined by "_". Forms with two readings ('d, he's) are left out."""

EMOJI = ("📌", "📎", "🔹", "🔸", "🗓", "🧩", "📷", "🧵", "➡", "🔗")
"""Emoji that carry no opinion."""

SYMBOLS = ("*", "·", "-", "_", "~", "/", " ")
"""What is put between Chinese characters to escape a filter."""

MISSPELLINGS: tuple[tuple[str, str], ...] = (
    (r"ie", "ei"),
    (r"ei", "ie"),
    (r"able$", "ible"),
    (r"ible$", "able"),
    (r"anc(?=e|y)", "enc"),
    (r"enc(?=e|y)", "anc"),
    (r"ant$", "ent"),
    (r"ent$", "ant"),
    (r"tion", "sion"),
    (r"ous$", "us"),
    (r"ful$", "full"),
    (r"lly$", "ly"),
    (r"(?<=[^l])ly$", "lly"),
    (r"([bcdfglmnprst])\1", r"\1"),
    (r"(?<=[aeiou])([lmnprst])(?=[aeiou])", r"\1\1"),
    (r"ph", "f"),
    (r"ck", "k"),
    (r"(?<=[aou])gh", "g"),
    (r"^wh", "w"),
    (r"^kn", "n"),
    (r"sc(?=[ei])", "s"),
    (r"c(?=[ei])", "s"),
    (r"ea", "ae"),
    (r"ou", "uo"),
    (r"au", "ua"),
    (r"(?<=[^aeiou])e$", ""),
    (r"ys$", "ies"),
    (r"(?<=[^aeiou]{2})a(?=[^aeiou])", "e"),
    (r"(?<=[^aeiou])er$", "or"),
    (r"(?<=[^aeiou])or$", "er"),
    (r"(?<=..)i(?=[^aeiou])", "e"),
    (r"(?<=..)e(?=[^aeiou])", "i"),
)
"""Rules by which words are misspelt by ear: pattern and replacement, in lower case, applied at one place."""

LOOK_ALIKES: Mapping[str, tuple[str, ...]] = both_ways(
    _couples(
        "未末 己已 己巳 已巳 土士 日曰 人入 大太 大犬 太犬 千干 干于 天夫 午牛 王玉 玉主 目自 自白 白百 古右 右石 左在 "
        "休体 折拆 拔拨 抢枪 扰拢 抱袍 拍柏 招绍 待侍 往住 住注 往佳 佳挂 清请 清情 情晴 晴睛 请情 请晴 很恨 根很 银跟 "
        "跟根 喝渴 竭喝 坏环 坏怀 怀环 买卖 卖实 时对 村材 材财 评坪 平乎 手毛 快块 块决 决快 爪瓜 瓜爬 兔免 晚挽 问间 "
        "间闻 问闻 门们 今令 令冷 冷玲 领邻 令铃 刀力 力办 办为 刃刀 九丸 几儿 几凡 乌鸟 鸟岛 马鸟 代伐 我找 找划 战站 "
        "贷货 货贸 资贷 准淮 谁难 推准 幸辛 辛亲 亲新 宜宣 宜直 直真 且目 旦且 早旱 草早 旱星 暑署 著署 者都 看着 差着 "
        "羊美 美关 关并 朱未 味昧 妹味 米来 来末 莱菜 采菜 彩采 影彩 景影 票漂 漂飘 要耍 酒洒 洒晒 西四 四皿 皿血 血向 "
        "向何 何河 可司 司同 同周 周用 甩用 由田 田甲 甲申 由申 电申 车东 东乐 乐牙 午年 贝见 风凤 风冈 冈网 "
        "广厂 厂厅 床麻 庆床 店底 低底 抵低 纸低 氏民 民良 良娘 狼娘 很狼 服报 报抱 胖伴 伴拌 半伴 生主 性姓 姓胜 "
        "师帅 名各 各客 客容 害客 好妤 如奶 奶扔 奴如 妈吗 吗码 妈骂 哪那 吧把 把爸 吧吗 呢泥 的约 约钓 的钓"
    )
)
"""Chinese characters that look alike."""

VARIANTS: Mapping[str, tuple[str, ...]] = both_ways(
    _couples(
        "爱愛 罢罷 办辦 帮幫 宝寶 报報 贝貝 备備 笔筆 边邊 变變 别別 宾賓 补補 财財 参參 层層 产產 长長 场場 厂廠 车車 "
        "陈陳 称稱 虫蟲 处處 传傳 词詞 从從 错錯 达達 带帶 单單 当當 导導 灯燈 递遞 点點 电電 东東 动動 独獨 读讀 "
        "断斷 对對 队隊 顿頓 夺奪 儿兒 尔爾 贰貳 饭飯 访訪 费費 纷紛 风風 负負 妇婦 复復 该該 赶趕 刚剛 岗崗 个個 给給 "
        "贡貢 构構 购購 够夠 顾顧 关關 观觀 馆館 惯慣 广廣 归歸 规規 贵貴 国國 过過 还還 汉漢 号號 后後 护護 华華 画畫 "
        "话話 怀懷 坏壞 欢歡 环環 换換 会會 获獲 机機 级級 极極 几幾 计計 记記 际際 继繼 绩績 价價 间間 简簡 见見 "
        "将將 讲講 奖獎 较較 节節 结結 尽盡 紧緊 进進 经經 惊驚 静靜 镜鏡 旧舊 举舉 剧劇 据據 觉覺 绝絕 开開 块塊 况況 "
        "来來 兰蘭 蓝藍 劳勞 乐樂 类類 离離 礼禮 里裡 历歷 丽麗 励勵 联聯 脸臉 练練 凉涼 两兩 辆輛 灵靈 领領 刘劉 龙龍 "
        "楼樓 录錄 陆陸 绿綠 虑慮 论論 罗羅 马馬 买買 卖賣 满滿 贸貿 么麼 门門 们們 梦夢 灭滅 难難 脑腦 鸟鳥 宁寧 农農 "
        "盘盤 评評 凭憑 齐齊 气氣 启啟 钱錢 浅淺 强強 桥橋 亲親 轻輕 请請 庆慶 区區 权權 劝勸 确確 让讓 热熱 认認 "
        "荣榮 软軟 伞傘 杀殺 伤傷 烧燒 设設 绍紹 谁誰 声聲 胜勝 师師 诗詩 时時 实實 识識 势勢 视視 试試 适適 书書 术術 "
        "树樹 数數 帅帥 双雙 说說 丝絲 苏蘇 虽雖 随隨 岁歲 孙孫 损損 态態 谈談 汤湯 题題 体體 条條 铁鐵 听聽 厅廳 头頭 "
        "图圖 团團 网網 为為 卫衛 谓謂 温溫 问問 无無 务務 误誤 习習 戏戲 细細 显顯 险險 现現 线線 乡鄉 响響 项項 写寫 "
        "谢謝 兴興 选選 学學 寻尋 压壓 严嚴 验驗 阳陽 养養 样樣 药藥 爷爺 业業 页頁 医醫 艺藝 亿億 忆憶 义義 议議 译譯 "
        "异異 阴陰 银銀 饮飲 应應 营營 赢贏 优優 邮郵 鱼魚 与與 语語 预預 员員 园園 圆圓 远遠 愿願 约約 阅閱 运運 杂雜 "
        "赞贊 脏髒 择擇 则則 战戰 张張 账賬 这這 阵陣 争爭 证證 织織 职職 纸紙 质質 钟鐘 众眾 专專 转轉 装裝 壮壯 状狀 "
        "总總 纵縱 组組 钻鑽"
    )
)
"""Simplified (first) and traditional characters."""
